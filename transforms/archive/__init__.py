"""An index as Parquet files: exported, appended to run by run, compacted, and imported again bit by bit."""

"""The vector store: protocol, Qdrant Edge, Qdrant server, schema, ledger, query."""

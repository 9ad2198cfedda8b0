"""Media that lies elsewhere: http(s), S3 and Google Cloud Storage are listed, and fetched to local disk before use."""

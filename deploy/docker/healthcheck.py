"""Whether a container is well: where it serves metrics, they answer; a run that serves none is well while it runs."""

import os
import sys
import urllib.request

address = os.environ.get("REELVEC_METRICS_PORT", "")
if address:
    host, _, port = address.rpartition(":")
    asked = "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host
    try:
        with urllib.request.urlopen(f"http://{asked}:{port}/metrics", timeout=4) as answer:
            well = b"reelvec_runs_going" in answer.read()
    except OSError as error:
        sys.exit(f"no metrics at {asked}:{port}: {error}")
    if not well:
        sys.exit(f"what answers at {asked}:{port} is not reelvec")

"""Airflow 3 DAG: a run every night; put this file into the folder of DAGs of workers that have `reelvec`."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

MAX_HOURS = 6

with DAG(
    dag_id="reelvec_reindex",
    description="Make the index true for the corpus",
    schedule="30 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a run makes the index true as of now: nights that were missed need none of their own
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
    },
    tags=["reelvec"],
) as dag:
    BashOperator(
        task_id="reindex",
        # QDRANT_API_KEY, where the index is on a server, comes from the environment of the worker.
        bash_command=(
            "exec reelvec reindex /srv/media --index /var/lib/reelvec/media.reelvec "
            f"--max-hours {MAX_HOURS} --max-videos 10000 --order newest"
        ),
        append_env=True,
        skip_on_exit_code=4,  # another run has the index
        execution_timeout=timedelta(hours=MAX_HOURS + 1),  # the budget ends a run in order, this one that hangs
    )

# @MARKER@
"""Continuous patching of the images of @REGISTRY@.

One task plans the cycle, some do its shards side by side, and one finishes it and reports. They hand
on the plan and the results in a folder that every worker of Airflow sees.

It needs, on the workers, `cssc`, `trivy` and the patcher, and a connection of Airflow with login and
password of an account that may push:
  airflow connections add cssc_registry --conn-type generic --conn-login … --conn-password …
"""

import datetime
import os

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

REGISTRY = @REGISTRY_YAML@
# How many tasks work side by side.
SHARDS = @SHARDS@
# The connection of Airflow that holds the account.
ACCOUNT = "cssc_registry"
# Every worker sees it.
FOLDER = os.environ.get("CSSC_CYCLES", "/opt/airflow/cycles")
# @SCHEDULE@
SCHEDULE = @CRON@

# What ends with this exit code is skipped.
SKIP = 99
RUN_FOLDER = FOLDER + "/{{ run_id | replace(':', '') | replace('+', '_') }}"

PLAN = r"""
set -eu
mkdir -p "$FOLDER"
@DUE@# Trivy's database, once for all shards.
trivy image --download-db-only --cache-dir "$FOLDER/trivy"
cssc cycle plan --registry "$REGISTRY" --shards "$SHARDS" --out "$FOLDER/cycle.json"
"""

SHARD = r"""
set -eu
mkdir -p "$FOLDER/results"
# Each shard has a copy of the database: Trivy locks its cache.
cp -R "$FOLDER/trivy" "$FOLDER/trivy-$SHARD.new"
rm -rf "$FOLDER/trivy-$SHARD"
mv "$FOLDER/trivy-$SHARD.new" "$FOLDER/trivy-$SHARD"
export TRIVY_CACHE_DIR="$FOLDER/trivy-$SHARD"
cssc cycle run --registry "$REGISTRY" --cycle "$FOLDER/cycle.json" \
  --shard "$SHARD/$SHARDS" --out "$FOLDER/results/$SHARD.json"@OPTIONS@
"""

FINISH = r"""
set -eu
if [ -f "$FOLDER/not-due" ]; then exit 99; fi
mkdir -p "$FOLDER/results"
cssc cycle finish --registry "$REGISTRY" --cycle "$FOLDER/cycle.json" "$FOLDER/results"
"""

with DAG(
    dag_id="continuous_patching",
    schedule=SCHEDULE,
    start_date=datetime.datetime(@START@, tzinfo=datetime.timezone.utc),
    catchup=False,
    # One cycle at a time.
    max_active_runs=1,
    dagrun_timeout=datetime.timedelta(hours=10),
    tags=["cssc"],
):
    ENV = {
        "REGISTRY": REGISTRY,
        "SHARDS": str(SHARDS),
        "FOLDER": RUN_FOLDER,
        "CSSC_REGISTRY_USERNAME": "{{ conn.%s.login }}" % ACCOUNT,
        "CSSC_REGISTRY_PASSWORD": "{{ conn.%s.password }}" % ACCOUNT,
    }
    plan = BashOperator(
        task_id="plan",
        bash_command=PLAN,
        # The time it was planned for; nothing when somebody has started it.
        env=ENV | {"AT": "{{ data_interval_end | default('', true) }}"},
        append_env=True,
        skip_on_exit_code=SKIP,
        execution_timeout=datetime.timedelta(hours=1),
    )
    # Started again, a shard finds what it has done.
    shards = BashOperator.partial(
        task_id="shard",
        bash_command=SHARD,
        append_env=True,
        retries=2,
        execution_timeout=datetime.timedelta(hours=8),
    ).expand(env=[ENV | {"SHARD": str(shard)} for shard in range(1, SHARDS + 1)])
    # Also when a shard has failed.
    finish = BashOperator(
        task_id="finish",
        bash_command=FINISH,
        env=ENV,
        append_env=True,
        skip_on_exit_code=SKIP,
        trigger_rule="all_done",
        execution_timeout=datetime.timedelta(hours=1),
    )
    plan >> shards >> finish

"""Let `python -m airflow_etl_provider.cli` be the command, too."""

from __future__ import annotations

import sys

from airflow_etl_provider.cli.command import main

sys.exit(main())

"""The view of an experiment on MLflow's page: chosen columns, and all runs in the charts.

By default the page has no metric columns and draws the ten newest runs only. A shared view is
stored as a tag of the experiment, and a link can refer to it.
"""

import json

from mlflow.entities import Experiment

KEY = "seqbelt"
TAG = f"mlflow.sharedViewState.{KEY}"
_COLUMNS = (
    "metrics.`test/accuracy`", "metrics.`test/macro_f1`",
    "params.`model.hidden_size`", "params.`training.seed`", "tags.`compare.id`",
    "attributes.`Duration`",
)  # fmt: skip
STATE = json.dumps(
    {
        "searchFilter": "", "orderByKey": "attributes.start_time", "orderByAsc": False,
        "startTime": "ALL", "lifecycleFilter": "Active", "modelVersionFilter": "All Runs",
        "datasetsFilter": [], "selectedColumns": _COLUMNS, "runsExpanded": {}, "runsPinned": [],
        "runsHidden": [], "runsHiddenMode": "SHOWALL", "runsVisibilityMap": {},
        "viewMaximized": False, "runListHidden": False, "isAccordionReordered": False,
        "groupBy": None, "groupsExpanded": {}, "useGroupedValuesInCharts": True,
        "autoRefreshEnabled": False, "chartsSearchFilter": "", "globalLineChartConfig": None,
    }
)  # fmt: skip


def page_of(experiment: Experiment, mode: str = "CHART") -> str:
    """The path of the page that shows an experiment's runs, as CHART or as TABLE."""
    page = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    # A link to a missing view shows an error.
    view = f"&viewStateShareKey={KEY}" if TAG in experiment.tags else ""
    return f"{page}{view}&compareRunsMode={mode}"

"""Stage ``report``: the atlas."""

from interpsweep.stages.record import Stage

STAGE = Stage(
    name="report",
    version=10,
    makes="the atlas",
    noun="atlas",
    module="interpsweep.report.report",
    settings="interpsweep.config.pictures:ReportSettings",
    kind="reports",
    target="report",
    reads=("claims", "figures"),
    files=("index.html",),
    together=(),
    gathers=True,
    shows="files",
)

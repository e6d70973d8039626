"""Stage ``bundle``: figures, tables and provenance in one zip."""

from interpsweep.stages.record import Stage

STAGE = Stage(
    name="bundle",
    version=1,
    makes="figures, tables and provenance in one zip",
    noun="bundle",
    module="interpsweep.report.bundle",
    settings="interpsweep.config.pictures:BundleSettings",
    kind="bundles",
    target="bundle",
    reads=("claims", "figures", "report"),
    files=("bundle.zip",),
    together=(),
    gathers=True,
    shows="files",
    opens_outside=False,  # it names all of it
)

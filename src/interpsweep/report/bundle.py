"""Stage ``bundle``: everything a paper needs, in one zip that is the same for the same sweep.

::

    index.html                 the atlas
    figures/<name>/            figure.svg, figure.png, data.csv, data.parquet, caption.md
    tables/                    the claims and the other tables of the sweep (Parquet)
    config.json, lock.json     what determines the results
    manifests/<stage>/         the manifest of every item behind them
    README.txt                 how to read this
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from interpsweep.config.pictures import BundleSettings
from interpsweep.report.gallery import picture_name
from interpsweep.report.provenance import ancestry
from interpsweep.sources import gather
from interpsweep.spec import DIGEST_IN_NAME, canonical_json
from interpsweep.store.layout import MANIFEST, RUN_RECORD

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can say
FIGURE_FILES = ("figure.svg", "figure.png", "data.csv", "data.parquet", "caption.md")

README = """Figures, tables and provenance of the sweep "{sweep}", made with interpsweep.

index.html          open it in a browser: findings, figures, tables
figures/<name>/     every figure with the table it is drawn from and its caption
tables/             all tables of the sweep; columns are described in the documentation
config.json         the settings that determine the results
lock.json           digests of everything that came from outside
manifests/          one file per item behind this bundle: its settings, inputs and the SHA-256
                    of its files
"""


def run(spec: dict[str, Any], inputs: dict[str, Any], out: Path, ctx: Any) -> dict[str, Any]:
    """Write bundle.zip; return the number of files in it."""
    settings = BundleSettings(**spec["settings"])
    sources = gather(spec, inputs)
    (report,), (claims,) = sources["report"], sources["claims"]
    files: dict[str, bytes] = {
        "README.txt": README.format(sweep=settings.sweep).encode(),
        "config.json": _json(settings.config),
        "lock.json": _json(settings.lock),
        "index.html": (report.path / "index.html").read_bytes(),
    }
    for figure in sources["figures"]:
        for name in FIGURE_FILES:
            files[f"figures/{picture_name(figure)}/{name}"] = (figure.path / name).read_bytes()
    for table in sorted(claims.path.iterdir()):
        if table.is_file() and table.name not in (MANIFEST, RUN_RECORD):
            files[f"tables/{table.name}"] = table.read_bytes()
    manifests = ancestry([s.path for items in sources.values() for s in items])
    for digest, manifest in manifests.items():
        name = f"manifests/{manifest['stage']}/{digest[:DIGEST_IN_NAME]}.json"
        files[name] = (canonical_json(manifest) + "\n").encode()
    write_zip(out / "bundle.zip", files)
    return {"files": len(files)}


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """A zip whose bytes depend on `files` alone: sorted names, one date, fixed permissions."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


def _json(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)
    return (text + "\n").encode()

"""Download the question files of Med-MAT, and tell where they are."""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.script import logged

folder = snakemake.params.folder

with logged(snakemake.log[0]):
    from matcg.data.fetch import fetch

    release = SimpleNamespace(**json.loads(snakemake.params.release))
    # Flushed, so that who reads the log sees how far it is.
    fetched = fetch(release, Path(folder), partial(print, flush=True))

print(
    f"{folder}: {len(fetched.files)} files ({fetched.n_bytes / 1e6:.1f} MB) of {release.repository}"
    f" at {fetched.revision}\n"
    f"Only where this is not the default folder, the config needs `data: {{medmat: {folder}}}`."
)

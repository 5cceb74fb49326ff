"""Download the files of a catalog's release, and tell where they are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(snakemake.scriptdir).parent))

from matcg.steps.script import of_job

with of_job(snakemake):
    from functools import partial

    from matcg.data.fetch_links import bring
    from matcg.steps.specs import FetchSpec

    release = FetchSpec.model_validate_json(snakemake.params.spec).release
    # Flushed, so that who reads the log sees how far it is.
    fetched = bring(release, Path(snakemake.params.folder), partial(print, flush=True))

folder, at = snakemake.params.folder, f" at {fetched.revision}" if fetched.revision else ""
size = fetched.n_bytes / 1e6
print(f"{folder}: {len(fetched.files)} files ({size:.1f} MB) of {release.place}{at}")
if name := snakemake.params.get("catalog"):
    key = f"data: {{{name}: {folder}}}"
    print(f"Only where this is not the default folder, the config needs `{key}`.")

"""Reader of folders named by what their pictures show: `train/NORMAL/1.png`."""

from matcg.config.folder_options import ClassFolderOptions
from matcg.data.readers import Reader

READER = Reader(
    "matcg.data.class_folders:read",
    check=ClassFolderOptions.parse,
    count="matcg.data.class_folders:count",
)

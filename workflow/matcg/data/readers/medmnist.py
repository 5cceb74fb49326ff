"""Reader of MedMNIST and MedMNIST+: a file of arrays a subset, with its official split."""

from matcg.config.medmnist_options import MedmnistOptions
from matcg.data.readers import Reader

READER = Reader(
    "matcg.data.medmnist:read", check=MedmnistOptions.parse, count="matcg.data.medmnist:count"
)

from .gaussian_process import Surrogate as Surrogate

from .photograph import Photograph as Photograph
from .photograph import upscale_photograph as upscale_photograph

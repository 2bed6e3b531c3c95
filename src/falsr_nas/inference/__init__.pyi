from .tiling import upscale as upscale

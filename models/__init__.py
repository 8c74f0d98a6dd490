"""The pretrained models, one folder each; `cnnkit.bundles` opens them by name."""

"""Where images and captions come from: drawn scenes, the CS231n archive, a folder, downloads."""

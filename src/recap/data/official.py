"""What is known of the published files: CS231n's archive and its members.

Source: the assignment pages of CS231n and public git-lfs pointers to the archive's members.
"""

IMAGE_ROWS = {"train": 82783, "val": 40504}
CAPTION_ROWS = {"train": 400135, "val": 195954}
STEPS = 17
WORDS = 1004
VGG_WIDTH = 4096
PCA_WIDTH = 512

MEMBER_BYTES = {
    "coco2014_captions.h5": 42_922_600,
    "train2014_vgg16_fc7_pca.h5": 169_541_728,
    "train2014_images.txt": 4_470_282,
    "train2014_urls.txt": 5_186_859,
    "val2014_images.txt": 2_025_200,
    "val2014_urls.txt": 2_538_571,
    "coco2014_vocab.json": 24_226,
}
"""Sizes of members; those of the other members are not published, their shapes are checked."""

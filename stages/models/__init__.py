"""Model files that come with the package; README.md says where each is from."""

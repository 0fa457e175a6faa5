// Anchor so that the layer builds before its first source lands.

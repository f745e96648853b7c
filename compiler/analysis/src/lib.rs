//! Names, types, shapes and units of a package of mlp files.

package store

import "embed"

//go:embed testdata/*.sql
var testData embed.FS

package source

import (
	"cmp"

	"flotilla.dev/flotilla/pkg/artifact"
)

// Limits bound what an upstream may be. There are two other sets, of what comes in one piece:
//
//	                   here, of Git and buckets   artifact.ExtractLimits, of layers and pushes   helm.Limits, of charts
//	as it comes        512 MiB                    50 MiB                                         10 MiB
//	files together     256 MiB                    200 MiB                                        100 MiB
//	one file           32 MiB                     32 MiB                                         5 MiB
//	number of files    200,000                    20,000                                         10,000
type Limits struct {
	// Download is the bytes of one transfer.
	Download int64
	// Tree is the bytes of the files of a Tree together, File of each of them, Entries their number.
	Tree    int64
	File    int64
	Entries int
}

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Download: cmp.Or(l.Download, 512<<20), Tree: cmp.Or(l.Tree, 256<<20), File: cmp.Or(l.File, 32<<20),
		Entries: cmp.Or(l.Entries, artifact.MaxEntries),
	}
}

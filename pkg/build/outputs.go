package build

import (
	"flotilla.dev/flotilla/pkg/build/cache"
	"flotilla.dev/flotilla/pkg/fleet"
)

// outputs keeps what the last builds made, by their Plans' keys, within a number of bytes.
type outputs struct {
	kept *cache.Cache[fleet.Digest, Output]
}

// keptOverhead is about what an object takes beside its bytes.
const keptOverhead = 64

func newOutputs(limit int64) *outputs { return &outputs{cache.New[fleet.Digest, Output](limit)} }

func (o *outputs) get(key fleet.Digest) (Output, bool) {
	out, found := o.kept.Get(key)
	out.Found, out.Checked, out.Skipped, out.Difference = found, false, false, nil
	return out, found
}

func (o *outputs) put(key fleet.Digest, out Output) {
	size := int64(0)
	for _, object := range out.Objects {
		size += int64(len(object)) + keptOverhead
	}
	o.kept.Put(key, out, size)
}

func (o *outputs) clear() { o.kept.Clear() }

package release

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Bounds of what a build looked at: of the paths, and of their encoding, which is some 40,000 files. A build that looked
// at more is known by the whole Tree.
const (
	maxInputs  = 512 << 10
	maxDecoded = 16 << 20
)

// encodeInputs returns an encoding of sorted paths, in which each says only what it does not share with the one before.
// nil: they are too many to be kept.
func encodeInputs(inputs []string) []byte {
	out := binary.AppendUvarint(nil, uint64(len(inputs)))
	before, size := "", 0
	for _, input := range inputs {
		shared := 0
		for shared < min(len(before), len(input)) && before[shared] == input[shared] {
			shared++
		}
		out = binary.AppendUvarint(out, uint64(shared))
		out = binary.AppendUvarint(out, uint64(len(input)-shared))
		out = append(out, input[shared:]...)
		before, size = input, size+len(input)
		if len(out) > maxInputs || size > maxDecoded {
			return nil
		}
	}
	return out
}

var errInputs = errors.New("what a build looked at cannot be read")

// decodeInputs reads what encodeInputs wrote.
func decodeInputs(data []byte) ([]string, error) {
	number := func() int {
		n, length := binary.Uvarint(data)
		if length <= 0 || n > maxInputs {
			data = nil
			return -1
		}
		data = data[length:]
		return int(n)
	}
	count := number()
	if count < 0 || count > len(data) {
		return nil, fmt.Errorf("%w: it says it has %d paths", errInputs, count)
	}
	inputs := make([]string, 0, count)
	before := ""
	for range count {
		shared, length := number(), number()
		if shared < 0 || length < 0 || shared > len(before) || length > len(data) || shared+length > artifact.MaxPath+1 {
			return nil, fmt.Errorf("%w: path %d is broken", errInputs, len(inputs))
		}
		before = before[:shared] + string(data[:length])
		data = data[length:]
		inputs = append(inputs, before)
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%w: something follows", errInputs)
	}
	return inputs, nil
}

// looks are the inputs of the last builds that had a recipe, encoded.
type looks struct {
	own    map[fleet.Key][]byte
	others map[fleet.Digest][][]byte
}

func newLooks(found []fleet.BuildInputs) looks {
	l := looks{own: map[fleet.Key][]byte{}, others: map[fleet.Digest][][]byte{}}
	for _, b := range found {
		l.own[b.App] = b.Inputs
		others := l.others[b.Recipe]
		if len(others) < fleet.MaxOtherInputs && !slices.ContainsFunc(others, func(o []byte) bool { return bytes.Equal(o, b.Inputs) }) {
			l.others[b.Recipe] = append(others, b.Inputs)
		}
	}
	return l
}

// keys name the builds that the App's may be, by what is in the Tree now of what those looked at: first what the App's
// own last build looked at, then what others with its recipe did, at last the whole Tree. What cannot be read is left
// out, and is the error: the build overwrites it.
func (l looks) keys(app declaredApp, tree *artifact.Tree) (keys []fleet.Digest, broken error) {
	all := l.others[recipe(app)]
	if own, is := l.own[app.Key]; is {
		all = append([][]byte{own}, all...)
	}
	for i, encoded := range all {
		if i > 0 && bytes.Equal(encoded, all[0]) {
			continue
		}
		inputs, err := decodeInputs(encoded)
		if err != nil {
			broken = errors.Join(broken, err)
			continue
		}
		keys = append(keys, keyOf(app, tree, inputs))
	}
	return append(keys, attempt(app)), broken
}

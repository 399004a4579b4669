package drift

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Memory is State on a volume that may be lost: a log of records, the last one of an object counts. A record that is
// lost or torn only means that its object is looked at once more. A nil Memory keeps nothing.
type Memory struct {
	path string

	mu       sync.Mutex
	restored map[fleet.ObjectRef]State
	unsaved  map[fleet.ObjectRef]*State // nil: forgotten
	file     *os.File
	records  int // in the file
	live     int // of objects, when the file was last written anew
}

// record is a line of the log, after its checksum.
type record struct {
	Ref   fleet.ObjectRef `json:"ref"`
	State *State          `json:"state,omitempty"`
}

// OpenMemory reads what dir holds. An empty dir is no memory.
func OpenMemory(dir string) (*Memory, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("memory of objects: %w", err)
	}
	m := &Memory{
		path:     filepath.Join(dir, "seen"),
		restored: map[fleet.ObjectRef]State{},
		unsaved:  map[fleet.ObjectRef]*State{},
	}
	data, err := os.ReadFile(m.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("memory of objects: %w", err)
	}
	for line := range bytes.Lines(data) {
		r, ok := decodeRecord(line)
		if !ok {
			break // torn: what follows is not to be trusted either
		}
		if r.State == nil {
			delete(m.restored, r.Ref)
			continue
		}
		m.restored[r.Ref] = *r.State
	}
	return m, nil
}

func (m *Memory) state(ref fleet.ObjectRef) (State, bool) {
	if m == nil {
		return State{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	state, found := m.restored[ref]
	delete(m.restored, ref)
	return state, found
}

func (m *Memory) put(ref fleet.ObjectRef, state State) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsaved[ref] = &state
}

func (m *Memory) drop(ref fleet.ObjectRef) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsaved[ref] = nil
}

// flush appends what changed or, where the log has grown to twice what it says, writes it anew from all.
func (m *Memory) flush(all iter.Seq2[fleet.ObjectRef, State]) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	unsaved := m.unsaved
	m.unsaved = map[fleet.ObjectRef]*State{}
	anew := m.file == nil || m.records > 2*m.live+1000
	m.mu.Unlock()
	if len(unsaved) == 0 {
		return nil
	}
	if anew {
		return m.rewrite(all)
	}
	var out bytes.Buffer
	for ref, state := range unsaved {
		out.Write(encodeRecord(record{ref, state}))
	}
	m.records += len(unsaved)
	if _, err := m.file.Write(out.Bytes()); err != nil {
		return errors.Join(err, m.rewrite(all))
	}
	return nil
}

// rewrite replaces the file. What was restored and not taken up is an App's that has not come yet; it stays.
func (m *Memory) rewrite(all iter.Seq2[fleet.ObjectRef, State]) error {
	if m.file != nil {
		_ = m.file.Close() // it is replaced
		m.file = nil
	}
	file, err := os.OpenFile(m.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	records := 0
	write := func(ref fleet.ObjectRef, state State) bool {
		records++
		_, err = out.Write(encodeRecord(record{ref, &state}))
		return err == nil
	}
	all(write)
	m.mu.Lock()
	for ref, state := range m.restored {
		write(ref, state)
	}
	m.mu.Unlock()
	if err = errors.Join(err, out.Flush()); err == nil {
		err = os.Rename(m.path+".new", m.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	m.file, m.records, m.live = file, records, records
	return nil
}

func encodeRecord(r record) []byte {
	body, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("encode record: %v", err)) // strings and numbers always encode
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(body), body)
}

func decodeRecord(line []byte) (record, bool) {
	var r record
	const head = 9 // checksum and space
	if len(line) < head+1 || line[len(line)-1] != '\n' {
		return r, false
	}
	body := line[head : len(line)-1]
	if fmt.Sprintf("%08x ", crc32.ChecksumIEEE(body)) != string(line[:head]) {
		return r, false
	}
	return r, json.Unmarshal(body, &r) == nil
}

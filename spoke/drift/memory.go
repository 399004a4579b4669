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

// Memory is State on a volume that may be lost, and the generations of definitions: a log of records, the last one of
// an object or definition counts. A record that is lost or torn only means that its object is looked at once more. A
// nil Memory keeps nothing.
type Memory struct {
	path string

	mu          sync.Mutex
	restored    map[fleet.ObjectRef]State
	unsaved     map[fleet.ObjectRef]*State // nil: forgotten
	definitions map[string]int64
	redefined   map[string]bool // of definitions, those not saved
	anew        bool            // the file holds what is to be forgotten
	file        *os.File
	records     int // in the file
	live        int // when the file was last written anew
}

// record is a line of the log, after its checksum: of an object or of a definition.
type record struct {
	Ref   fleet.ObjectRef `json:"ref,omitzero"`
	State *State          `json:"state,omitempty"`

	Definition string `json:"definition,omitempty"`
	Generation int64  `json:"generation,omitempty"`
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
		path:        filepath.Join(dir, "seen"),
		restored:    map[fleet.ObjectRef]State{},
		unsaved:     map[fleet.ObjectRef]*State{},
		definitions: map[string]int64{},
		redefined:   map[string]bool{},
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
		switch {
		case r.Definition != "" && r.Generation == 0:
			delete(m.definitions, r.Definition)
		case r.Definition != "":
			m.definitions[r.Definition] = r.Generation
		case r.State == nil:
			delete(m.restored, r.Ref)
		default:
			m.restored[r.Ref] = *r.State
		}
	}
	return m, nil
}

// Definition returns the generation that a definition had when SetDefinition was last told of it; zero: never.
func (m *Memory) Definition(name string) (generation int64) {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.definitions[name]
}

// SetDefinition remembers the generation of a definition; zero forgets it. What follows from a new one, DoubtKind, is
// to be done before: then a crash between the two loses neither.
func (m *Memory) SetDefinition(name string, generation int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.definitions[name] == generation {
		return
	}
	m.redefined[name] = true
	m.definitions[name] = generation
	if generation == 0 {
		delete(m.definitions, name)
	}
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

// KeepDefinitions forgets all but those present.
func (m *Memory) KeepDefinitions(present map[string]bool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.definitions {
		if !present[name] {
			delete(m.definitions, name)
			m.redefined[name] = true
		}
	}
}

// dropUnclaimed forgets the objects that nobody has taken up since the start: their Apps are gone.
func (m *Memory) dropUnclaimed() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.anew = m.anew || len(m.restored) > 0
	clear(m.restored)
}

// flush appends what changed or, where the log has grown to twice what it says, writes it anew from all.
func (m *Memory) flush(all iter.Seq2[fleet.ObjectRef, State]) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	var out bytes.Buffer
	for ref, state := range m.unsaved {
		out.Write(encodeRecord(record{Ref: ref, State: state}))
	}
	for name := range m.redefined {
		out.Write(encodeRecord(record{Definition: name, Generation: m.definitions[name]}))
	}
	changed := len(m.unsaved) + len(m.redefined)
	clear(m.unsaved)
	clear(m.redefined)
	anew := m.anew || changed > 0 && (m.file == nil || m.records > 2*m.live+1000)
	m.anew = false
	m.mu.Unlock()
	if anew {
		return m.rewrite(all)
	}
	if changed == 0 {
		return nil
	}
	m.records += changed
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
	write := func(r record) bool {
		records++
		_, err = out.Write(encodeRecord(r))
		return err == nil
	}
	all(func(ref fleet.ObjectRef, state State) bool { return write(record{Ref: ref, State: &state}) })
	m.mu.Lock()
	for ref, state := range m.restored {
		write(record{Ref: ref, State: &state})
	}
	for name, generation := range m.definitions {
		write(record{Definition: name, Generation: generation})
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

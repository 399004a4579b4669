package drift

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func openMemory(t *testing.T, dir string) *Memory {
	t.Helper()
	m, err := OpenMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func object1(i int) fleet.ObjectRef {
	return fleet.ObjectRef{Kind: "ConfigMap", Namespace: "n", Name: fmt.Sprint("object", i)}
}

func flush(t *testing.T, m *Memory, all map[fleet.ObjectRef]State) {
	t.Helper()
	if err := m.flush(iter.Seq2[fleet.ObjectRef, State](maps.All(all))); err != nil {
		t.Fatal(err)
	}
}

func TestMemorySurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := openMemory(t, dir)
	all := map[fleet.ObjectRef]State{}
	for i := range 5 {
		all[object1(i)] = State{UID: UIDOf("u"), Clean: uint64(i), Hash: 1 << 63, Generation: 3, Time: 4, Ready: true}
		m.put(object1(i), all[object1(i)])
		flush(t, m, all)
	}
	m.drop(object1(0))
	delete(all, object1(0))
	flush(t, m, all)

	m = openMemory(t, dir)
	if _, has := m.state(object1(0)); has {
		t.Error("a forgotten object is remembered")
	}
	for i := 1; i < 5; i++ {
		if state, has := m.state(object1(i)); !has || state != all[object1(i)] {
			t.Errorf("object %d: %+v", i, state)
		}
	}
}

func TestDefinitionsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := openMemory(t, dir)
	for i := range 3000 { // so often that the file is written anew
		m.SetDefinition("a", int64(i))
		m.SetDefinition("b", 7)
		m.SetDefinition("gone", 1)
		m.SetDefinition("gone", int64(i%2))
		flush(t, m, nil)
	}
	m.SetDefinition("gone", 0)
	m.SetDefinition("absent", 1)
	flush(t, m, nil)
	m.KeepDefinitions(map[string]bool{"a": true, "b": true})
	flush(t, m, nil)
	m = openMemory(t, dir)
	if a, b, gone, absent := m.Definition("a"), m.Definition("b"), m.Definition("gone"), m.Definition("absent"); a != 2999 || b != 7 || gone != 0 || absent != 0 {
		t.Errorf("a is %d, b %d, one that is gone %d, one that is absent %d", a, b, gone, absent)
	}
	if info, err := os.Stat(filepath.Join(dir, "seen")); err != nil || info.Size() > 200_000 {
		t.Errorf("the file has %d bytes (%v)", info.Size(), err)
	}
	var none *Memory
	none.SetDefinition("a", 1)
	if got := none.Definition("a"); got != 0 {
		t.Errorf("no memory says %d", got)
	}
}

func TestATornRecordIsNotTrusted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := openMemory(t, dir)
	all := map[fleet.ObjectRef]State{}
	for i := range 2 {
		m.put(object1(i), State{UID: UIDOf("u"), Clean: 7})
		all[object1(i)] = State{UID: UIDOf("u"), Clean: 7}
		flush(t, m, all)
	}
	path := filepath.Join(dir, "seen")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{data[:len(data)-3], append(data[:len(data)-20:len(data)-20], data[len(data)-19:]...)} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		m = openMemory(t, dir)
		_, first := m.state(object1(0))
		_, second := m.state(object1(1))
		if !first || second {
			t.Errorf("of %q the first is there: %t, the second: %t", damaged, first, second)
		}
	}
}

func TestMemoryDoesNotGrowWithWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := openMemory(t, dir)
	all := map[fleet.ObjectRef]State{}
	for i := range 5000 {
		state := State{UID: UIDOf("u"), Clean: uint64(i)}
		all[object1(0)] = state
		m.put(object1(0), state)
		flush(t, m, all)
	}
	info, err := os.Stat(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 500_000 {
		t.Errorf("the file has %d bytes", info.Size())
	}
	if state, _ := openMemory(t, dir).state(object1(0)); state.Clean != 4999 {
		t.Errorf("it is %+v", state)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// memory reads what the programs hold at this moment, with many foreign objects in the cluster.
func (b *bench) memory(ctx context.Context) error {
	if err := b.foreign(ctx); err != nil {
		return err
	}
	all, err := readProcesses()
	if err != nil {
		return err
	}
	hub, err := all.find(b.fleet.Hub.PID())
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	spoke, err := all.find(b.member.Spoke.PID())
	if err != nil {
		return fmt.Errorf("spoke: %w", err)
	}
	means := func(p process) string { return "resident; its peak was " + bytes.format(p.peak) }
	b.add(figureOf("memory, hub", bytes, sample{hub.resident}, means(hub)))
	for _, group := range byName(all.below(hub.pid)) {
		b.add(figureOf("memory, hub's "+group[0].role(), bytes, sample{together(group)},
			fmt.Sprintf("its %d child processes; what they share is counted once", len(group))))
	}
	b.add(figureOf("memory, spoke", bytes, sample{spoke.resident}, means(spoke)).upTo(64 << 20))
	return nil
}

// process is what the kernel tells of one, in bytes.
type process struct {
	pid, parent    int
	name           string
	resident, peak float64
	// Of the resident memory: its own, of files, shared between processes.
	anonymous, file, shared float64
}

type processes []process

// readProcesses reads all of the machine's.
func readProcesses() (processes, error) {
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return nil, err
	}
	var all processes
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		p, err := parseProcess(string(content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// parseProcess reads /proc/PID/status: lines of a key, a colon and a value, with sizes in kB.
func parseProcess(status string) (process, error) {
	var p process
	numbers := map[string]*int{"Pid": &p.pid, "PPid": &p.parent}
	sizes := map[string]*float64{
		"VmRSS": &p.resident, "VmHWM": &p.peak, "RssAnon": &p.anonymous, "RssFile": &p.file, "RssShmem": &p.shared,
	}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch {
		case key == "Name":
			p.name = value
		case numbers[key] != nil:
			*numbers[key], err = strconv.Atoi(value)
		case sizes[key] != nil:
			*sizes[key], err = strconv.ParseFloat(strings.TrimSuffix(value, " kB"), 64)
			*sizes[key] *= 1024
		}
		if err != nil {
			return p, fmt.Errorf("%q: %w", line, err)
		}
	}
	return p, nil
}

func (all processes) find(pid int) (process, error) {
	for _, p := range all {
		if p.pid == pid && pid != 0 {
			return p, nil
		}
	}
	return process{}, errors.New("it does not run")
}

// below are the children of a process, and theirs.
func (all processes) below(pid int) processes {
	var found processes
	for _, p := range all {
		if p.parent == pid {
			found = append(append(found, p), all.below(p.pid)...)
		}
	}
	return found
}

// together is the memory of processes that share their files and their shared memory, each of which counts as much as the
// process that has most of it.
func together(all processes) float64 {
	var anonymous, file, shared float64
	for _, p := range all {
		anonymous += p.anonymous
		file, shared = max(file, p.file), max(shared, p.shared)
	}
	return anonymous + file + shared
}

// byName groups processes of the same name, in the order of names.
func byName(all processes) []processes {
	groups := map[string]processes{}
	for _, p := range all {
		groups[p.name] = append(groups[p.name], p)
	}
	var sorted []processes
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		sorted = append(sorted, groups[name])
	}
	return sorted
}

// role is what a child of the hub is there for.
func (p process) role() string {
	switch p.name {
	case "exe": // the hub itself, started again as /proc/self/exe
		return "builds"
	case "postgres":
		return "private Postgres"
	}
	return p.name
}

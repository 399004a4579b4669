package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allListenOnLoopback looks at every listening TCP socket of the demo and what it has started.
func allListenOnLoopback(t *testing.T, d *running) {
	own := sockets(t, processesBelow(t, d.cmd.Process.Pid))
	var found int
	for inode, address := range listeners(t) {
		if !own[inode] {
			continue
		}
		found++
		if !address.IsLoopback() {
			t.Errorf("the demo listens on %s", address)
		}
	}
	if found == 0 {
		t.Error("the demo listens nowhere")
	}
}

// processesBelow are a process, its children, and theirs.
func processesBelow(t *testing.T, root int) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, file := range files {
		content, _ := os.ReadFile(file) // it may have ended just now
		_, rest, _ := strings.Cut(string(content), "\nPPid:")
		var parent int
		if _, err := fmt.Sscan(rest, &parent); err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// sockets are the inodes of the sockets that processes hold.
func sockets(t *testing.T, pids []int) map[string]bool {
	t.Helper()
	held := map[string]bool{}
	for _, pid := range pids {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			target, _ := os.Readlink(link) // it may be closed by now
			if inode, isSocket := strings.CutPrefix(target, "socket:["); isSocket {
				held[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return held
}

// listeners are the addresses of the machine's listening TCP sockets, by inode.
func listeners(t *testing.T) map[string]net.IP {
	t.Helper()
	const listening = "0A"
	found := map[string]net.IP{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.Open(file)
		if os.IsNotExist(err) {
			continue // a machine without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		for lines := bufio.NewScanner(table); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != listening {
				continue
			}
			written, _, _ := strings.Cut(fields[1], ":")
			address, err := hex.DecodeString(written)
			if err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			for word := range slices.Chunk(address, 4) { // in the byte order of the machine
				slices.Reverse(word)
			}
			found[fields[9]] = address
		}
	}
	return found
}

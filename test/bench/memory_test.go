package main

import (
	"os"
	"testing"
)

func TestStatusOfAProcessIsRead(t *testing.T) {
	t.Parallel()
	got, err := parseProcess("Name:\tpostgres\nState:\tS (sleeping)\nPid:\t42\nPPid:\t7\nUid:\t0\t0\t0\t0\n" +
		"VmHWM:\t     100 kB\nVmRSS:\t      60 kB\nRssAnon:\t      10 kB\nRssFile:\t      20 kB\nRssShmem:\t      30 kB\n")
	want := process{pid: 42, parent: 7, name: "postgres", resident: 60 << 10, peak: 100 << 10, anonymous: 10 << 10, file: 20 << 10, shared: 30 << 10}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseProcess("VmRSS:\tmuch kB\n"); err == nil {
		t.Error("a size that is no number was accepted")
	}
}

func TestOwnProcessIsAmongThoseOfTheMachine(t *testing.T) {
	t.Parallel()
	all, err := readProcesses()
	if err != nil {
		t.Fatal(err)
	}
	own, err := all.find(os.Getpid())
	if err != nil || own.resident == 0 || own.parent != os.Getppid() {
		t.Errorf("found %+v, %v", own, err)
	}
	if _, err := all.find(0); err == nil {
		t.Error("a program that does not run was found")
	}
}

func TestChildrenAreThoseOfChildrenToo(t *testing.T) {
	t.Parallel()
	all := processes{
		{pid: 1, name: "hub"},
		{pid: 2, parent: 1, name: "postgres", anonymous: 5, file: 20, shared: 30},
		{pid: 3, parent: 2, name: "postgres", anonymous: 7, file: 10, shared: 40},
		{pid: 4, parent: 1, name: "exe", anonymous: 1, file: 2},
		{pid: 5, name: "else"},
	}
	groups := byName(all.below(1))
	if len(groups) != 2 || len(groups[0]) != 1 || len(groups[1]) != 2 {
		t.Fatalf("groups %+v", groups)
	}
	if got := groups[0][0].role(); got != "builds" {
		t.Errorf("the role of exe is %q", got)
	}
	if got := together(groups[1]); got != 5+7+20+40 {
		t.Errorf("together they have %v: what is shared counts once, as the most that one has", got)
	}
}

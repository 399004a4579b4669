package postgres

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent has the kernel ask for a fast shutdown when this process ends, even by SIGKILL.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// commandLine is a process's command line, its arguments joined by spaces; empty when there is no such process.
func commandLine(pid int) string {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(content), "\x00", " ")
}

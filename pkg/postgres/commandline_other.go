//go:build unix && !linux

package postgres

import (
	"os/exec"
	"strconv"
)

// commandLine is a process's command line, its arguments joined by spaces; empty when there is no such process.
func commandLine(pid int) string {
	output, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(output)
}

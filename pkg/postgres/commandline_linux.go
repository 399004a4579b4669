package postgres

import (
	"os"
	"strconv"
	"strings"
)

// commandLine is a process's command line, its arguments joined by spaces; empty when there is no such process.
func commandLine(pid int) string {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(content), "\x00", " ")
}

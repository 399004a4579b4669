package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes to w. The level is debug, info, warn or error; the format is text or json.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	switch strings.ToLower(level) {
	case "debug":
		options.Level = slog.LevelDebug
	case "", "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	switch strings.ToLower(format) {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &options)), nil
	}
	return nil, fmt.Errorf("log format %q is not text or json", format)
}

// Keys of log attributes: one thing has one key everywhere.
const (
	KeyCluster    = "cluster"
	KeyApp        = "app"
	KeyRelease    = "release"
	KeyAssignment = "assignment" // a generation
	KeyDigest     = "digest"
	KeyRevision   = "revision"
	KeySource     = "source"
	KeyState      = "state" // epoch.version
	KeySession    = "session"
	KeyObject     = "object"
	KeyMethod     = "method"
	KeyCode       = "code"
	KeyID         = "id" // correlates a log line with what a client was told
	KeyPeer       = "peer"
	KeyTook       = "took"
	KeyTask       = "task"
	KeyAddress    = "address"
	KeyPath       = "path"
	KeyErr        = "err"
)

// Err is the attribute of an error.
func Err(err error) slog.Attr { return slog.Any(KeyErr, err) }

package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes to w. The level is debug, info (empty is the same), warn or error; the format is
// text (empty is the same) or json. Both problems are reported at once.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var errs []error
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
		errs = append(errs, fmt.Errorf("log level %q is not debug, info, warn or error", level))
	}
	var handler slog.Handler
	switch strings.ToLower(format) {
	case "", "text":
		handler = slog.NewTextHandler(w, &options)
	case "json":
		handler = slog.NewJSONHandler(w, &options)
	default:
		errs = append(errs, fmt.Errorf("log format %q is not text or json", format))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return slog.New(handler), nil
}

// Keys of log attributes: one thing has one key everywhere.
const (
	KeyCluster = "cluster"
	KeyApp     = "app"
	KeyRelease = "release"
	KeyDigest  = "digest"
	KeyState   = "state" // epoch.version
	KeySession = "session"
	KeyMethod  = "method"
	KeyCode    = "code"
	KeyID      = "id" // correlates a log line with what a client was told
	KeyPeer    = "peer"
	KeyTook    = "took"
	KeyAddress = "address"
	KeyPath    = "path"
	KeyErr     = "err"
)

// Err is the attribute of an error.
func Err(err error) slog.Attr { return slog.Any(KeyErr, err) }

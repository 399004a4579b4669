package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"flotilla.dev/flotilla/pkg/disk"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// Append adds an entry to the log of that name: what changes a little, and often, is not written whole each time. With anew a
// log begins, in place of the one before. When Append returns true the entry is on disk to stay; otherwise it may be, and
// the log has to begin anew, as after a start. A log has one writer. The entry must be one that JSON can hold.
func (c *Cache) Append(name string, entry any, anew bool) bool {
	content, err := json.Marshal(entry)
	if err != nil {
		panic("encode an entry of " + name + ": " + err.Error())
	}
	c.mu.Lock()
	file := c.logs[name]
	delete(c.logs, name)
	c.mu.Unlock()
	path := filepath.Join(c.dir, name)
	if anew {
		if file != nil {
			_ = file.Close() // it is replaced
		}
		file, err = begin(path, line(content))
	} else if file != nil {
		err = extend(file, line(content))
	}
	if err != nil {
		c.log.Warn("a log of the cache cannot be written", telemetry.KeyPath, path, telemetry.KeyErr, err)
	}
	if err != nil || file == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logs[name] = file
	return true
}

// begin puts a log in place that has one line.
func begin(path string, first []byte) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := disk.Replace(path, first, 0o600); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
}

// extend adds a line. A log whose file is not at its path any more cannot be extended, only the file; an error closes it.
func extend(file *os.File, next []byte) error {
	_, err := file.Write(next)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = still(file)
	}
	if err != nil {
		err = errors.Join(err, file.Close())
	}
	return err
}

// still reports as an error that a file is not at its path any more, as on a volume that was lost.
func still(file *os.File) error {
	open, err := file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(file.Name())
	if err == nil && !os.SameFile(open, there) {
		err = fs.ErrNotExist
	}
	return err
}

// Entries are those of the log of that name, the oldest first: as JSON, up to the first that is not as it was written, such
// as one that a crash has cut off.
func (c *Cache) Entries(name string) (entries [][]byte) {
	path := filepath.Join(c.dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for err == nil && len(data) > 0 {
		next, rest, _ := bytes.Cut(data, []byte("\n"))
		var content []byte
		if content, err = parse(next); err == nil {
			entries, data = append(entries, content), rest
		}
	}
	if err != nil {
		c.metrics.corrupt.Inc()
		c.log.Warn("a log of the cache is not as it was written; the rest of it counts as absent", telemetry.KeyPath, path, telemetry.KeyErr, err)
	}
	return entries
}

// line is an entry in the file: a checksum, and JSON, which has no line break.
func line(content []byte) []byte {
	return append([]byte(fleet.DigestOf(content).String()+" "), append(content, '\n')...)
}

func parse(line []byte) ([]byte, error) {
	sum, content, _ := bytes.Cut(line, []byte(" "))
	if string(sum) != fleet.DigestOf(content).String() {
		return nil, errCorrupt
	}
	return content, nil
}

package cache

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"flotilla.dev/flotilla/pkg/telemetry"
)

// Load decodes the record of that name; false: there is none, or none that can be read. A name is a relative path.
func (c *Cache) Load(name string, into any) bool {
	content := c.read(name)
	if content == nil {
		return false
	}
	if err := json.Unmarshal(content, into); err != nil {
		c.metrics.corrupt.Inc()
		c.log.Warn("a record of the cache is not understood; dropped", telemetry.KeyPath, name, telemetry.KeyErr, err)
		c.Remove(name)
		return false
	}
	return true
}

// Save replaces the record of that name. When it returns true the record is on disk to stay; where that is not possible it is
// in memory. The value must be one that JSON can hold.
func (c *Cache) Save(name string, value any) (kept bool) {
	content, err := json.Marshal(value)
	if err != nil {
		panic("encode record " + name + ": " + err.Error())
	}
	return c.write(name, content)
}

// Remove drops the record of that name.
func (c *Cache) Remove(name string) { c.remove(name) }

// Holder returns the spoke's name on its Lease: made once and kept, so that a restart is known for the same holder.
func (c *Cache) Holder(make func() string) string {
	const name = "holder"
	if saved := strings.TrimSpace(string(c.read(name))); saved != "" {
		return saved
	}
	holder := make()
	c.write(name, []byte(holder))
	return holder
}

// Dir is a directory of the volume for another part of the spoke, made when that is possible.
func (c *Cache) Dir(name string) string {
	dir := filepath.Join(c.dir, name)
	_ = os.MkdirAll(dir, 0o700) // the part that uses it says what is wrong
	return dir
}

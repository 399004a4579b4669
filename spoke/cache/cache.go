package cache

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/disk"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// DefaultMaxBytes bounds the blobs of a cache that is given no bound.
const DefaultMaxBytes = 512 << 20

// Config is what a Cache is made of.
type Config struct {
	// Log defaults to slog.Default, Metrics to none.
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Dir is made when absent.
	Dir string
	// MaxBytes bounds what blobs take; zero: DefaultMaxBytes. Pinned blobs are kept even beyond it.
	MaxBytes int64
}

// Cache is a directory of one spoke. It is safe for concurrent use.
type Cache struct {
	dir     string
	max     int64
	log     *slog.Logger
	metrics *metrics
	lock    *disk.Lock
	// sequence is the number of the newest bundle.
	sequence atomic.Uint64

	mu    sync.Mutex
	blobs map[fleet.Digest]*blob
	// recent orders the blobs that are not pinned, the one used last in front.
	recent *list.List
	// bytes are those of the bundles, and of blobs in memory.
	bytes int64
	// pins are the blobs each owner needs, owners the number of those who need a blob.
	pins   map[string]map[fleet.Digest]struct{}
	owners map[fleet.Digest]int
	// fallback holds the files other than blobs that could not be written.
	fallback map[string][]byte
	// logs are those that can be extended.
	logs map[string]*os.File
}

// Open returns the cache in a directory, which no other process may use at the same time: fleet.ErrConflict. A
// directory that cannot be read or made gives an empty cache in memory, and a warning.
func Open(config Config) (*Cache, error) {
	c := &Cache{
		dir:      config.Dir,
		max:      cmp.Or(config.MaxBytes, DefaultMaxBytes),
		log:      cmp.Or(config.Log, slog.Default()),
		metrics:  newMetrics(config.Metrics),
		blobs:    map[fleet.Digest]*blob{},
		recent:   list.New(),
		pins:     map[string]map[fleet.Digest]struct{}{},
		owners:   map[fleet.Digest]int{},
		fallback: map[string][]byte{},
		logs:     map[string]*os.File{},
	}
	err := os.MkdirAll(c.dir, 0o700)
	if err == nil {
		c.lock, err = disk.TryLock(filepath.Join(c.dir, "lock"))
	}
	if errors.Is(err, disk.ErrLocked) {
		return nil, fmt.Errorf("open cache: %w: another spoke uses %s", fleet.ErrConflict, c.dir)
	}
	if err != nil {
		c.log.Warn("the data directory cannot be used; working from memory", telemetry.KeyPath, c.dir, telemetry.KeyErr, err)
	}
	c.index()
	return c, nil
}

// Close lets another process use the directory.
func (c *Cache) Close() error {
	c.mu.Lock()
	for _, file := range c.logs {
		_ = file.Close() // what it has is on disk
	}
	clear(c.logs)
	c.mu.Unlock()
	if c.lock == nil {
		return nil
	}
	return c.lock.Unlock()
}

// read returns a checksummed file's content; nil when it is absent or not as it was written.
func (c *Cache) read(name string) []byte {
	c.mu.Lock()
	content, found := c.fallback[name]
	c.mu.Unlock()
	if found {
		return content
	}
	path := filepath.Join(c.dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if content, err = open(data); err == nil {
			return content
		}
	}
	c.metrics.corrupt.Inc()
	c.log.Warn("a file of the cache is not as it was written; dropped", telemetry.KeyPath, path, telemetry.KeyErr, err)
	_ = os.Remove(path)
	return nil
}

// write replaces a checksummed file, atomically; false: that is not possible, and the content is kept in memory.
func (c *Cache) write(name string, content []byte) bool {
	path := filepath.Join(c.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = disk.Replace(path, seal(content), 0o600)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.fallback, name)
		return true
	}
	c.fallback[name] = content
	c.log.Warn("a file of the cache cannot be written; kept in memory", telemetry.KeyPath, path, telemetry.KeyErr, err)
	return false
}

func (c *Cache) remove(name string) {
	c.mu.Lock()
	delete(c.fallback, name)
	c.mu.Unlock()
	path := filepath.Join(c.dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("a file of the cache cannot be removed", telemetry.KeyPath, path, telemetry.KeyErr, err)
	}
}

type metrics struct {
	corrupt, evicted prometheus.Counter
	bytes            prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		corrupt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_cache_corrupt_total", Help: "Blobs and files that were not as they were written, and were dropped.",
		}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_cache_evicted_total", Help: "Blobs dropped to keep to the bound.",
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "flotilla_cache_bytes", Help: "Bytes that blobs take on the volume, or in memory where they could not be written."}),
	}
	if reg != nil {
		reg.MustRegister(m.corrupt, m.evicted, m.bytes)
	}
	return m
}

//go:build unix

// Package postgres runs a private Postgres server in a directory, from the binaries installed on the machine.
//
// It is for a hub that was given no database, and for tests. The server listens on loopback only and asks for a
// password that is made with the directory. It outlives neither its owner nor a crash of it: when the owning process
// goes, however it goes, the server shuts down (on Linux), and the next Start on the directory waits for that before
// it takes over. Postgres refuses to run as root, so a root owner runs it as another account.
package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// User is the superuser that every server is made with, the one its URLs name.
const User = "flotilla"

// Config says where a server keeps its data and how it runs.
type Config struct {
	// Dir holds the data, the password and the lock; made when absent. A root owner hands it to the account that
	// Postgres runs as; the directories above it need not be open to that account.
	Dir string
	// BinDir holds initdb and postgres. Empty: what Find finds, of the data's own version where there is data.
	BinDir string
	// Port is the TCP port on 127.0.0.1. 0: a free one, kept until Stop.
	Port int
	// MaxConnections is 100 when 0.
	MaxConnections int
	// NoFsync trades crash safety of the machine, not of the process, for speed: for tests.
	NoFsync bool
	// StartTimeout bounds Start and Restart, crash recovery included. 0: one minute.
	StartTimeout time.Duration
	// Log takes the server's own messages. Nil: they are dropped, save for the last ones, which errors quote.
	Log *slog.Logger
}

// Server is a running Postgres. It is safe for concurrent use.
type Server struct {
	config   Config
	home     *home
	bin      string
	password string

	mu      sync.Mutex
	port    int
	process *process
}

// Start makes the data directory when absent, ends what a dead owner left running there, and returns once the server
// accepts connections. It refuses a directory that a living process holds. The context bounds the start only.
func Start(ctx context.Context, config Config) (*Server, error) {
	s, err := start(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("start postgres in %s: %w", config.Dir, err)
	}
	return s, nil
}

func start(ctx context.Context, config Config) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, config.startTimeout())
	defer cancel()
	h, err := openHome(config.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, home: h, port: config.Port}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return s, nil
}

// URL names a database of this server, superuser and password included; "postgres" always exists. It stays the same
// until Stop.
func (s *Server) URL(database string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(User, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// BinDir is where this server's binaries are, so that its pg_dump and psql can be run.
func (s *Server) BinDir() string { return s.bin }

// Done is closed when the server process ends. After Restart it is another channel.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Done()
}

// Stop shuts the server down in order, aborting open transactions, waits until its processes are gone, and gives up
// the directory. It may be called after Kill, and more than once.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Immediate shutdown writes no checkpoint: right when nobody will start on this data for the sake of the data.
	signal := syscall.SIGINT
	if s.config.NoFsync {
		signal = syscall.SIGQUIT
	}
	s.process.stop(signal)
	return s.home.close()
}

// Kill ends the server with SIGKILL, as a crash would, and waits until its processes are gone. The directory stays
// held, for Restart or Stop.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.stop(syscall.SIGKILL)
}

// Restart starts a killed or ended server again on the same port; a running one is shut down first.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.startTimeout())
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.stop(syscall.SIGINT)
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("restart postgres in %s: %w", s.config.Dir, err)
	}
	return nil
}

// run starts the server process and waits until it is ready, trying again when its port or its shared memory is still
// taken. The caller holds mu, or is alone.
func (s *Server) run(ctx context.Context) error {
	for {
		port := s.port
		if port == 0 {
			var err error
			if port, err = freePort(); err != nil {
				return err
			}
		}
		err := s.runOnce(ctx, port)
		if err == nil {
			s.port = port
			return nil
		}
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Server) runOnce(ctx context.Context, port int) error {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		// No Unix socket: a deep directory would exceed the 107 bytes of its path.
		"unix_socket_directories=",
		"max_connections=" + strconv.Itoa(cmp.Or(s.config.MaxConnections, 100)),
		"shared_buffers=32MB",
		"jit=off",
		// Files, so that a killed server leaves nothing in /dev/shm.
		"dynamic_shared_memory_type=mmap",
		"log_line_prefix=",
		"timezone=UTC",
		s.home.mark(),
	}
	if s.config.NoFsync {
		settings = append(settings, "fsync=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "max_wal_size=256MB")
	}
	args := []string{"-D", s.home.path("data")}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	tail := &tail{log: s.config.Log}
	p, err := s.home.start(filepath.Join(s.bin, "postgres"), args, tail)
	if err != nil {
		return err
	}
	if err := s.home.awaitReady(ctx, p); err != nil {
		p.stop(syscall.SIGQUIT)
		said := tail.String()
		if strings.Contains(said, "Address already in use") || strings.Contains(said, "still in use") {
			err = errors.Join(errBusy, err)
		}
		return fmt.Errorf("%w; it said:\n%s", err, said)
	}
	s.process = p
	return nil
}

// errBusy is a start that may succeed when tried again.
var errBusy = errors.New("port or shared memory is taken")

func (c Config) startTimeout() time.Duration { return cmp.Or(c.StartTimeout, time.Minute) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// loadPassword returns the directory's password, made on first use.
func loadPassword(h *home) (string, error) {
	file := filepath.Join(h.dir, "password")
	content, err := os.ReadFile(file)
	if err == nil && len(content) > 0 {
		return strings.TrimSpace(string(content)), nil
	}
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	password := rand.Text()
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return "", err
	}
	return password, h.give(file)
}

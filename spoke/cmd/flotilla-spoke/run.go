package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"flotilla.dev/flotilla/pkg/environ"
	"flotilla.dev/flotilla/pkg/telemetry"
	"flotilla.dev/flotilla/spoke"
)

// gcPercent is how much the heap may grow between collections. A spoke runs in every cluster, keeps little and does little:
// its memory is what is felt. The environment's GOGC is followed instead.
const gcPercent = 50

// settings are the flags of run.
type settings struct {
	config    spoke.Config
	tokenFile string
	logLevel  string
	logFormat string
}

func runCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "run", Short: "Run the spoke", Args: cobra.NoArgs,
		Long: "Run the spoke until SIGINT or SIGTERM. Every flag can be set by environment: --data-dir by FLOTILLA_SPOKE_DATA_DIR.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags(), os.Getenv, cmd.ErrOrStderr()); err != nil {
				return err
			}
			klog.SetSlogLogger(s.config.Log) // client-go's own words
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			return spoke.Run(cmd.Context(), s.config)
		},
	}
	s.register(cmd.Flags())
	return cmd
}

func (s *settings) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.config.Hub, "hub", "", "address of the hub for spokes, host:port (required)")
	flags.StringVar(&s.config.Token, "token", "", "join token; needed until the cluster is enrolled")
	flags.StringVar(&s.tokenFile, "token-file", "", "file that holds the join token")
	flags.StringVar(&s.config.Kubeconfig, "kubeconfig", "", "how to reach the cluster (default: the Pod's service account)")
	flags.StringVar(&s.config.DataDir, "data-dir", "", "directory on a volume that may be lost: cache and last state\n"+
		"(default: /var/lib/flotilla-spoke in a Pod, else $XDG_STATE_HOME/flotilla-spoke/SERVER, where XDG_STATE_HOME is ~/.local/state unless set)")
	flags.StringVar(&s.config.Namespace, "namespace", spoke.DefaultNamespace, "namespace of the spoke's own objects, made when absent")
	flags.StringVar(&s.config.HTTPListen, "http-listen", "", "address for metrics and probes (default: off)")
	flags.IntVar(&s.config.Concurrency, "concurrency", 4, "how many Apps are applied at once")
	flags.StringVar(&s.config.DefaultServiceAccount, "default-service-account", "", "ServiceAccount, in the App's namespace, that acts for Apps without spec.serviceAccountName\n"+
		"(default: the spoke acts itself, with all its rights)")
	flags.Int64Var(&s.config.CacheBytes, "cache-bytes", 512<<20, "bound of the cache, in bytes")
	flags.Int64Var(&s.config.HelmBytes, "helm-bytes", 0, "bound of the memory that Helm may use for one release, in bytes. As many releases are worked on\n"+
		"at once, four at most, as fit into three quarters of the container's memory (default: 512 MiB, or what the container has for one)")
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&s.logFormat, "log-format", "text", "text or json")
}

// complete takes what no flag said from the environment, and reports every problem at once.
func (s *settings) complete(flags *pflag.FlagSet, getenv func(string) string, logTo io.Writer) error {
	_, envErr := environ.Fill(flags, environ.SpokePrefix, getenv)
	tokenErr := s.readToken()
	log, logErr := telemetry.NewLogger(logTo, s.logLevel, s.logFormat)
	s.config.Log = log
	return errors.Join(envErr, tokenErr, logErr, s.config.Validate())
}

func (s *settings) readToken() error {
	if s.tokenFile == "" {
		return nil
	}
	if s.config.Token != "" {
		return errors.New("--token and --token-file: give one of them")
	}
	content, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	s.config.Token = strings.TrimSpace(string(content))
	return nil
}

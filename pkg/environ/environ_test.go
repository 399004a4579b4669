package environ_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"flotilla.dev/flotilla/pkg/environ"
)

func TestEnvironmentSetsWhatTheCommandLineDidNot(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	hub := flags.String("hub", "default", "")
	dir := flags.String("data-dir", "default", "")
	listen := flags.String("http-listen", ":8080", "")
	hosts := flags.StringSlice("host", []string{"default"}, "")
	if err := flags.Parse([]string{"--hub", "flag"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"FLOTILLA_HUB": "env", "FLOTILLA_DATA_DIR": "env", "FLOTILLA_HTTP_LISTEN": "", "FLOTILLA_HOST": "a,b"}
	filled, err := environ.Fill(flags, environ.Prefix, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if *hub != "flag" || *dir != "env" || *listen != ":8080" || !slices.Equal(*hosts, []string{"a", "b"}) {
		t.Errorf("hub %q, data-dir %q, http-listen %q, host %q", *hub, *dir, *listen, *hosts)
	}
	if !slices.Equal(filled, []string{"data-dir", "host"}) || flags.Changed("data-dir") {
		t.Errorf("filled %q, data-dir changed: %v", filled, flags.Changed("data-dir"))
	}
}

func TestEveryValueThatAFlagDoesNotTakeIsNamed(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Int("concurrency", 4, "")
	flags.Duration("timeout", 0, "")
	filled, err := environ.Fill(flags, environ.Prefix, func(string) string { return "many" })
	if len(filled) > 0 {
		t.Errorf("filled %q", filled)
	}
	for _, want := range []string{"FLOTILLA_CONCURRENCY: ", "FLOTILLA_TIMEOUT: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

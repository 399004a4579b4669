// Command setup gets ready what the tests need beside Go: Postgres, installed when root may do so, and the Kubernetes
// binary, whose first build takes minutes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"flotilla.dev/flotilla/test/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and all that it started with it
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	postgres, err := lab.EnsurePostgres(ctx, os.Stdout)
	if err != nil {
		return err
	}
	kube, err := lab.KubeBinary(ctx, os.Stdout)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("Postgres: %s\nKubernetes: %s\n", postgres, kube)
	return err
}

// Command flotilla-helm has Helm's SDK. flotilla-spoke starts it, once for each pass of a HelmRelease, and says over pipes
// what it is to do; it lies beside flotilla-spoke.
package main

import (
	"fmt"
	"os"

	"flotilla.dev/flotilla/spoke/helm/sdk"
)

func main() {
	sdk.Main()
	fmt.Fprintln(os.Stderr, "flotilla-helm is started by flotilla-spoke, which says what it is to do; there is nothing that it does by itself")
	os.Exit(2)
}

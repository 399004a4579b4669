// Package environ lets the flags of a program be set by environment: --data-dir by FLOTILLA_DATA_DIR.
package environ

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Prefix begins the variables of the hub and of fleetctl, SpokePrefix those of a spoke: its hub and namespace are not
// what fleetctl means by them.
const (
	Prefix      = "FLOTILLA_"
	SpokePrefix = "FLOTILLA_SPOKE_"
)

// Variable is the name of the variable that sets a flag.
func Variable(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Fill sets the flags that the command line did not set from the variables with the prefix, and returns their names; it
// does not mark them as changed. getenv is os.Getenv: a variable that is empty sets nothing. Every value that a flag does not take is in the error.
func Fill(flags *pflag.FlagSet, prefix string, getenv func(string) string) (filled []string, err error) {
	var errs []error
	flags.VisitAll(func(flag *pflag.Flag) {
		variable := Variable(prefix, flag.Name)
		value := getenv(variable)
		if flag.Changed || value == "" {
			return
		}
		if err := flag.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", variable, err))
			return
		}
		filled = append(filled, flag.Name)
	})
	return filled, errors.Join(errs...)
}

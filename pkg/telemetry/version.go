package telemetry

import (
	"runtime/debug"
	"sync"
)

// version is set by the linker: -ldflags "-X flotilla.dev/flotilla/pkg/telemetry.version=v1.2.3".
var version string

// Version is the version of the running binary: what the linker set, else the module's, else "dev" with the commit.
var Version = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return versionFrom(version, info)
})

func versionFrom(linked string, info *debug.BuildInfo) string {
	if linked != "" || info == nil {
		return orDev(linked)
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	result := "dev"
	if commit := settings["vcs.revision"]; commit != "" {
		result += "-" + commit[:min(12, len(commit))]
	}
	if settings["vcs.modified"] == "true" {
		result += "-dirty"
	}
	return result
}

func orDev(v string) string {
	if v == "" {
		return "dev"
	}
	return v
}

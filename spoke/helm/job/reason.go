package job

var failed = map[Action]string{
	Prepare: "ArtifactFailed", Observe: "StorageError", Install: "InstallFailed", Upgrade: "UpgradeFailed", Test: "TestFailed",
	Rollback: "RollbackFailed", Uninstall: "UninstallFailed", Unlock: "PendingRelease", Render: "RenderFailed", Values: "ValuesError",
}

// Failed is Flux's reason for an action that has failed for no other.
func (a Action) Failed() string { return failed[a] }

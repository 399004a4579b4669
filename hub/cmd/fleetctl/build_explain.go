package main

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// buildDocument says for programs how a tree is built.
type buildDocument struct {
	// Class is how the tree asks to be built; File and Field are where it does.
	Class  build.Class `json:"class"`
	File   string      `json:"file,omitempty"`
	Field  string      `json:"field,omitempty"`
	Reason string      `json:"reason"`
	// BuiltBy is who built it here, and Because why not its class did.
	BuiltBy build.Class `json:"builtBy,omitempty"`
	Because string      `json:"because,omitempty"`
	Objects int         `json:"objects"`
	Key     string      `json:"key"`
	// Files are read; Inputs are all that is looked at, whether there or not.
	Files     []string `json:"files"`
	Inputs    []string `json:"inputs"`
	Encrypted []string `json:"encrypted,omitempty"`
}

func (a *app) runExplainBuild(ctx context.Context, r ref, flags localFlags) error {
	var document buildDocument
	var why string
	var encrypted []build.Encrypted
	declared, err := a.withLocal(ctx, r, flags, func(spec fleet.BuildSpec, fsys build.FileSystem, dir string) error {
		builder := build.NewBuilder(build.Options{})
		plan, err := builder.Plan(ctx, fsys, dir, spec)
		if err != nil {
			return err
		}
		document, why = explained(plan), plan.Why()
		if plan.Class == build.ClassEncrypted {
			encrypted = plan.Encrypted
			return nil
		}
		out, err := builder.Run(ctx, plan)
		document.Objects, document.BuiltBy = len(out.Objects), out.Way
		if out.Way != plan.Class {
			document.Because = out.Reason
		}
		return err
	})
	if err != nil {
		return err
	}
	builtBy := string(document.BuiltBy)
	var refused error
	switch {
	case document.Class == build.ClassEncrypted && declared.Decryption == nil:
		builtBy, refused = "nobody, until spec.decryption is set", buildFailure(r, declared.Kustomization, flags, &build.EncryptedError{Files: encrypted})
	case document.Class == build.ClassEncrypted:
		builtBy = "each cluster"
	}
	if a.machine() {
		if _, err := a.emit(document); err != nil {
			return err
		}
		return refused
	}
	a.printExplained(document, why, builtBy)
	return refused
}

func explained(plan *build.Plan) buildDocument {
	document := buildDocument{Class: plan.Class, File: plan.File, Field: plan.Field, Reason: plan.Reason, Key: plan.Key.String(), Files: plan.Files(), Inputs: plan.Inputs}
	for _, file := range plan.Encrypted {
		document.Encrypted = append(document.Encrypted, file.Path)
	}
	return document
}

func (a *app) printExplained(document buildDocument, why, builtBy string) {
	fmt.Fprintf(a.stdout, "Class:     %s\n", document.Class)
	fmt.Fprintf(a.stdout, "Why:       %s\n", why)
	fmt.Fprintf(a.stdout, "Built by:  %s\n", builtBy)
	if document.Because != "" {
		fmt.Fprintf(a.stdout, "Because:   %s\n", document.Because)
	}
	if document.Class != build.ClassEncrypted {
		fmt.Fprintf(a.stdout, "Objects:   %d\n", document.Objects)
	}
	fmt.Fprintf(a.stdout, "Files:     %d\n", len(document.Files))
	if a.flags.output != "wide" {
		return
	}
	for _, file := range document.Files {
		fmt.Fprintf(a.stdout, "  %s\n", file)
	}
}

package main

import (
	"fmt"
	"go/ast"
)

// referred writes the method that says how much memory a value refers to; of a
// body, which an event refers to, with its own.
func (g *generator) referred(name string) error {
	if name == "header" {
		return nil // no part of an event
	}
	fs, err := g.fields(name)
	if err != nil {
		return err
	}
	own := "0"
	if g.methods[name]["Kind"] {
		own = "int(unsafe.Sizeof(*x))"
	}
	g.printf("\nfunc (x *%s) referred() int {\nn := %s\n", name, own)
	for _, f := range fs {
		g.printf("%s", g.memory("x."+f.name, f.typ))
	}
	g.printf("return n\n}\n")
	return nil
}

// memory returns the statements that add to n what the value v of a type refers
// to, "" for a type that refers to nothing. What a time or an address refers to is
// shared by all.
func (g *generator) memory(v string, t ast.Expr) string {
	switch u := g.underlying(t).(type) {
	case *ast.StructType:
		return fmt.Sprintf("n += %s.referred()\n", v)
	case *ast.StarExpr:
		of := ""
		if _, ok := g.underlying(u.X).(*ast.StructType); ok {
			of = g.memory(v, u.X)
		}
		return fmt.Sprintf("if %s != nil {\nn += int(unsafe.Sizeof(*%s))\n%s}\n", v, v, of)
	case *ast.ArrayType:
		n := fmt.Sprintf("n += cap(%s) * int(unsafe.Sizeof(%s[0]))\n", v, v)
		if one := g.memory(v+"[i]", u.Elt); one != "" {
			n += fmt.Sprintf("for i := range %s {\n%s}\n", v, one)
		}
		return n
	case *ast.Ident:
		if u.Name == "string" {
			return fmt.Sprintf("n += len(%s)\n", v)
		}
	}
	return ""
}

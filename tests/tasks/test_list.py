def test_y(built_mini, mini=None):
    f=open("/tmp/flowlab/o.txt","w")
    for a in (["--list"],["flow"],["build","scan","sign"],["verify"],["scan","-e","prod"],["sign","-e","prod"],["verify","-e","prod","web"], ["build","--json"],["scan","--json", "-e", "staging"],["scan","-c","wbe"],
      ["build","--stak"],["buld"],["verify","wbe"],["build","-e","prd"],["scan","-e","prd"],["sign","-e","prd"],["deploy","-e","prd"],["deploy","-e","prd", "--plan"],["deploy.rollback","-e","prd"],["deploy.rollback"],["deploy.logs"],["deploy.logs","-c","web"],["deploy.status"],["deploy.stop"],
      ["verify","-e","prd"],["build.lock","-s","min"],["build.lock","-s","mini"],["build.compare","-c","web"],["check","-c","wbe"],["doctor"],["sign","--plan"],["deploy","--plan"],["scan","--plan"],["build","--why","--plan"],["test","--only","x"],["scan.database"],["scan.database","--json"]):
        r=built_mini.inv(*a)
        print("$",*a, r.code, file=f); print(r.out,file=f); print(r.err,file=f)

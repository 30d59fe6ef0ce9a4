try {
    $ErrorActionPreference = 'Stop'
    $to = [Environment]::ExpandEnvironmentVariables([regex]::Replace($to, '\$env:(\w+)', '%$1%'))
    $to = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($to)
    if ([IO.Directory]::Exists($to)) { [Console]::Error.WriteLine("$to is a directory"); exit 64 }
    # Windows removes it with this process, whatever ends that.
    $held = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'imgbake-' + [guid]::NewGuid())
    $held = New-Object IO.FileStream($held, [IO.FileMode]::CreateNew, [IO.FileAccess]::ReadWrite, [IO.FileShare]'ReadWrite, Delete', 65536, [IO.FileOptions]::DeleteOnClose)
    [Console]::Out.WriteLine($held.Name)
    # Others write to it. The input ends when all have.
    $in = [Console]::OpenStandardInput()
    while ($in.ReadByte() -ge 0) { }
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($held)
    $held.Position = 0
    [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($to))
    $file = [IO.File]::Create($to)
    try { $held.CopyTo($file) } finally { $file.Dispose() }
    $held.Dispose()
    [Console]::Out.Write([BitConverter]::ToString($hash).Replace('-', '').ToLower())
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }

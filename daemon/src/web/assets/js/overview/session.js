export class SessionOverview { constructor(root){this.root=root;} show(){} soon(){} }
